def score(value):
    return 2 * value
