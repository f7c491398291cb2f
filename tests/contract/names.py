"""The unique names of the jobs of random commands, by what they go by."""

NAMES = ("11" * 32, "22" * 32)  # of jobs that hold them while they are live
NAMES_OF_WAITING = ("33" * 32,)
NAMES_FOR_A_TIME = ("44" * 32,)
