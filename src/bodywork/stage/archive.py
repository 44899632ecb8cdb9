"""A folder as one tar archive, the same for the same content; and archives back to folders."""

import os
import shutil
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Iterator


class OutsideError(Exception):
    """A link leads out of the folder that is to be kept: `link` as the folder has it, `to` where."""

    def __init__(self, link: str, to: str) -> None:
        super().__init__("%s leads to %s" % (link, to))
        self.link = link
        self.to = to


def write(folder: str, into: "IO[bytes]") -> None:
    """A tar of `folder` that depends on nothing but names, contents and executable bits.

    Raises OutsideError.
    """
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(names(folder), key=lambda name: name.split("/")):
            path = os.path.join(folder, name)
            info = archive.gettarinfo(path, name)
            if info is None:  # a socket, of which nothing can be kept
                continue
            if info.issym() and not stays_inside(info):
                raise OutsideError("%s/%s" % (os.path.basename(folder), info.name), info.linkname)
            if info.islnk():  # another name of a file that is in the archive: a file all the same
                info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.lstat(path).st_size
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            if info.isreg():
                with open(path, "rb") as content:
                    archive.addfile(info, content)
            elif info.isdir() or info.issym():
                archive.addfile(info)


def names(folder: str, below: str = "") -> "Iterator[str]":
    """All that a folder holds, relative to it. Links are not followed."""
    with os.scandir(os.path.join(folder, below)) as entries:
        for entry in entries:
            yield below + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from names(folder, below + entry.name + "/")


def stays_inside(link: "tarfile.TarInfo") -> bool:
    """Whether a link in a folder leads to something in that folder, wherever the folder is put."""
    leads_to = os.path.normpath(os.path.join(os.path.dirname(link.name), link.linkname))
    return not leads_to.startswith(("/", "../")) and leads_to != ".."


def unpack(archive: str, into: str, links: bool = False) -> None:
    """Unpack to the new folder `into`; an older folder there is gone.

    `links`: those that lead out of the folder are kept as well, as Git keeps them.
    """
    shutil.rmtree(into, ignore_errors=True)
    os.makedirs(into)
    with tarfile.open(archive) as file:
        if hasattr(tarfile, "data_filter"):
            file.extractall(into, filter="tar" if links else "data")
        else:
            file.extractall(into, [inside(member) for member in file])


def inside(member: "tarfile.TarInfo") -> "Any":
    """The member, for Pythons whose tarfile has no filters; what it names stays in the folder."""
    if os.path.normpath(member.name).startswith(("/", "..")):
        raise tarfile.TarError("%s leads out of the folder" % member.name)
    return member
