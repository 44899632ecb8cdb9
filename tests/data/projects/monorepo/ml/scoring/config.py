NAME = "scoring of the monorepo"
