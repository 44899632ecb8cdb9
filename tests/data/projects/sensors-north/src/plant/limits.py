PLANT = "north"
