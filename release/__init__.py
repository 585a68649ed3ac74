"""What is made of this project for others: wheels for each platform."""
