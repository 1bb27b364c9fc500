"""What refiner, guard and critic do for the author, whatever they run on."""
