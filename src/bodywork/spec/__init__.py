"""What is asked for: bodywork.yaml read into one frozen model. Pure."""
