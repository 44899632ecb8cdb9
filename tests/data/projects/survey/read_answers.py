"""Usage: read_answers.py [--least=N]"""
import answers
from docopt import docopt

print("answers", answers.VERSION, "of", len(docopt(__doc__)), "option")
