def rows():
    return [(x, 3 * x + 1) for x in range(5)]
