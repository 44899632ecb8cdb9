"""Check the sales figures and print what they look like."""
import logging
import sys

import numpy as np
import pandas as pd

from calendar_of_shop import is_open
from columns import FEATURES, TARGET

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
log = logging.getLogger(__name__)


def main():
    sales = pd.read_csv("../../data/sales.csv")
    sales = sales[sales["week"].map(is_open)]
    matrix = sales[FEATURES].astype(np.float).values
    log.info("%d weeks, %d features, mean of %s is %.1f", *matrix.shape, TARGET, sales[TARGET].mean())
    log.info("pandas %s numpy %s", pd.__version__, np.__version__)


if __name__ == "__main__":
    main()
