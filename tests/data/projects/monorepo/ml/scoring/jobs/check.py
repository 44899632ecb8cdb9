import scoring
import six
import zipp
from config import NAME

assert scoring.score(2) == 4
print(NAME, "with six", six.__version__, "and", zipp.__name__, "from", scoring.__file__)
