import sys

print("no answers to publish", file=sys.stderr)
sys.exit(4)
