"""The unique names of the jobs of random commands, by what they go by."""

REPLACED, PUSHED = "55" * 32, "66" * 32  # what a new job does to the holder
FOLLOWED = "77" * 32  # one that runs is followed by another
NAMES = (
    "11" * 32,
    "22" * 32,
    REPLACED,
    PUSHED,
    FOLLOWED,
)  # of jobs that hold them while they are live
NAMES_OF_WAITING = ("33" * 32,)
NAMES_FOR_A_TIME = ("44" * 32,)
