PLANT = "south"
