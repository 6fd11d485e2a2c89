"""What runs by itself: results become rows, states and events; schedules stay equal to monitors."""
