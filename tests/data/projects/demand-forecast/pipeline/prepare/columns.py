FEATURES = ["price", "promoted"]
TARGET = "sold"
