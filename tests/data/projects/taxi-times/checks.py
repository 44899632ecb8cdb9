import os
import sys

print("Python %d.%d, commit %s" % (*sys.version_info[:2], os.environ["GIT_COMMIT_HASH"]))
