"""The unique names of the jobs of random commands, by what they go by."""

REPLACED, PUSHED = "55" * 32, "66" * 32  # what a new job does to the holder
NAMES = ("11" * 32, "22" * 32, REPLACED, PUSHED)  # of jobs that hold them while they are live
NAMES_OF_WAITING = ("33" * 32,)
NAMES_FOR_A_TIME = ("44" * 32,)
