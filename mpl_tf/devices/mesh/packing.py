"""The next batch of a mesh, cut and handed to its devices while they are at work on the one before."""


class Packed:
    """Batches of an iterator, each laid out before it is asked for.

    DTensor runs a step beside the program that called it: between that call and the reading of its logs the program is
    free.

    Args:
        lay: function of a batch of the iterator -> what a step takes.
    """

    def __init__(self, lay):
        self.lay = lay
        self.iterator = self.batch = self.error = None

    def take(self, iterator):
        """The iterator's next batch, laid out: the one that is ready, or else made now.

        Raises:
            What reading it raised, StopIteration at the end: when it is taken, as the steps before it have been done.
        """
        # Each fit(), and each epoch of a set that has an end, reads from an iterator of its own.
        if self.iterator is not iterator:
            self.prepare(iterator)
        batch, error = self.batch, self.error
        self.iterator = self.batch = self.error = None
        if error is not None:
            raise error
        return batch

    def prepare(self, iterator):
        """Lay out the iterator's next batch, for `take`."""
        self.iterator, self.batch, self.error = iterator, None, None  # The end of another one is none of this one's.
        try:
            self.batch = self.lay(next(iterator))
        except Exception as error:
            self.error = error
