"""Reading ahead from a bucket: a request takes tens of milliseconds, so that many are under way before they are needed.

The order in which a run draws its examples is known before, so that the next ones are asked for by threads while the
ones before them are decoded. What comes is the same to the bit, however late.
"""

import collections
import dataclasses
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from mpl_tf.base import storage
from mpl_tf.data import members

THREADS = 64  # Requests at a time: 20 ms each make 3,200 a second.
AHEAD = 256  # Examples asked for before they are needed; of 100 KB each 25 MB.


class Ahead:
    """What is asked for before it is needed.

    Args:
        fetch: function of a number that returns what belongs to it; called in threads.
    """

    def __init__(self, fetch):
        self._fetch, self._pool = fetch, ThreadPoolExecutor(THREADS)
        self._asked, self._lock = collections.OrderedDict(), threading.Lock()  # Of a number: [future, times asked for].

    def ask(self, number):
        """Let the fetching of a number begin."""
        with self._lock:
            if number in self._asked:
                self._asked[number][1] += 1
                return
            self._asked[number] = [self._pool.submit(self._fetch, number), 1]
            while len(self._asked) > 4 * AHEAD:  # Of draws that a stop left where they were.
                self._asked.popitem(last=False)

    def get(self, number):
        """What belongs to a number; raises what `fetch` raised."""
        with self._lock:
            asked = self._asked.get(number)
            if asked is not None:
                asked[1] -= 1
                if not asked[1]:
                    del self._asked[number]
        return self._fetch(number) if asked is None else asked[0].result()

    def over(self, numbers, number=lambda *element: element[0]):
        """A tf.data.Dataset as it is, which asks for its elements' numbers AHEAD elements before it gives them.

        Args:
            numbers: tf.data.Dataset whose elements begin with an integer scalar.
            number: function of an element's parts that returns its number, integer scalar.
        """

        def asked(first, *rest):
            # Not told to be stateful: what is, tf.data does not let run ahead where operations are deterministic. The
            # sum keeps TensorFlow from leaving it out.
            nothing = tf.numpy_function(self._note, [number(first, *rest)], tf.int32, stateful=False)
            first += tf.cast(tf.ensure_shape(nothing, []), first.dtype)
            return (first, *rest) if rest else first

        # Threads of their own: those that decode wait for what the others have still to ask for.
        options = tf.data.Options()
        options.threading.private_threadpool_size = 16
        return numbers.map(asked).prefetch(AHEAD).with_options(options)

    def _note(self, number):
        self.ask(int(number))
        return np.int32(0)


def workers(sources):
    """Threads that read images of sources (paths, Records or Members); None: as many as the machine decodes by."""
    places = (source.path if isinstance(source, members.INSIDE) else source for source in sources)
    return THREADS if any(map(storage.is_url, places)) else None


def each(function, paths):
    """list of function(path), in order: in threads where one of the paths is a URL, else one after the other."""
    if not any(map(storage.is_url, paths)):
        return [function(path) for path in paths]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, paths))


def loaded(items):
    """Items as they are, the bytes of those in a bucket fetched in threads before they are come to.

    Args:
        items: iterator of dataclasses with `source`, a path or URL, and `load`, a function without arguments.
    """
    first = next(items, None)
    items = itertools.chain([] if first is None else [first], items)
    if first is None or not storage.is_url(first.source):
        yield from items
        return
    waiting = collections.deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for item in items:
            waiting.append(dataclasses.replace(item, load=pool.submit(item.load).result))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        yield from waiting
