"""What a name stands for in one repository: as its host says now, or said when it was last asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bodywork.errors import UnreachableError
from bodywork.git import refs
from bodywork.git.mirror import Mirror
from bodywork.git.program import Program


@dataclass(frozen=True)
class Resolution:
    """Looks names up for the repository of `mirror`."""

    mirror: Mirror
    program: Program

    def ask(self, ref: str | None) -> refs.Found:
        """What the host says that `ref` is now. A full SHA is taken as it is.

        Raises NotFoundError with the nearest names, and the errors of `explain`.
        """
        if ref is not None and refs.FULL.fullmatch(ref):
            return refs.Found(name=ref, commit=ref, shown=ref)
        place = self.mirror.location
        try:
            some, head = refs.listing(self.program, place, ref or "HEAD")
            if found := refs.choose(some, head, ref):
                return found
            every, _ = refs.listing(self.program, place)
        except UnreachableError as error:
            known = self._known(ref)
            raise refs.out_of_reach(error, known.commit if known else None) from error
        short = ref is not None and every and refs.SHORT.fullmatch(ref)
        if short and (sha := self._lengthen(every, short[0])):
            return refs.Found(name=sha, commit=sha, shown=short[0])
        raise refs.nothing(place, every, ref)

    def remember(self, found: refs.Found, commit: str) -> None:
        """Note what a name stood for, for the time when the host is out of reach."""
        if self.mirror.location.local or refs.FULL.fullmatch(found.name):
            return
        branch = {"": found.shown} if found.name == "HEAD" and found.shown != "HEAD" else {}
        self.mirror.notes.see({found.name: commit, **branch})

    def recall(self, ref: str | None) -> refs.Found:
        """What the host said last. Raises UnreachableError when that is not here."""
        found = self._known(ref)
        if found is None:
            raise UnreachableError(
                f"{ref or 'the main branch'} of {self.mirror.location.name} has not been fetched before, "
                "and the host was not to be asked",
                hint="try again with a network",
            )
        return found

    def _known(self, ref: str | None) -> refs.Found | None:
        seen = self.mirror.notes.seen()
        found = refs.choose(seen, f"refs/heads/{seen.get('', 'HEAD')}", ref)
        if found is None and ref is not None and refs.SHA.fullmatch(ref):
            sha = self.mirror.find(ref)
            found = refs.Found(name=sha, commit=sha, shown=ref) if sha else None
        return found if found and self.mirror.notes.record(found.commit) else None

    def _lengthen(self, every: Mapping[str, str], short: str) -> str | None:
        """The full SHA: among the tips, in the mirror, or in all that the host has."""
        found = refs.starting_with(every, short) or self.mirror.find(short)
        if found is None:
            with self.mirror.writing():
                self.mirror.fetch_everything()
            found = self.mirror.find(short)
        return found
