"""What lies around the compiled steps of a call of fit(): whether more than batches passes between host and device."""

import inspect

import tensorflow as tf

from mpl_tf.base.errors import RunError

# How Keras' loop takes batches, counts its steps and hands the last results on. None of these reads what a step has
# made, or makes what it reads: an Optional is a handle.
BATCHES = ("IteratorGetNext", "IteratorGetNextAsOptional")
HANDED_ON = (
    *("OptionalNone", "OptionalFromValue", "OptionalHasValue", "OptionalGetValue"),
    *("Placeholder", "Const", "Identity", "NoOp", "LogicalAnd"),
    *("While", "StatelessWhile", "If", "StatelessIf", "PartitionedCall", "StatefulPartitionedCall"),
)
COUNTERS = ("AddV2", "Less")  # Of whole numbers alone.


def around(method, spec):
    """What a call of a method's steps_per_execution steps has beside its compiled steps.

    Args:
        method: compiled Method, jit_compile on, of one device.
        spec: nest of tf.TensorSpec, of its batches.
    Returns:
        (programs, others): compiled programs that a step calls, 1 if all of it is compiled together; names of the
        operations, sorted, that work on the host between the steps.
    Raises:
        RunError: a Keras whose training loop is another one.
    """
    method.make_train_function(force=True)
    inner = inspect.getclosurevars(method.train_function).nonlocals.get("multi_step_on_iterator")
    if inner is None:
        raise RunError("--cost: expected Keras' own loop of steps (3.12 to 3.15), found another one")
    return operations(inner.get_concrete_function(tf.data.IteratorSpec(spec)).graph.as_graph_def())


def operations(graph):
    """(compiled programs, names of the operations on the host) of a traced call, as `around` has them.

    Args:
        graph: GraphDef with its functions.
    """
    functions = {function.signature.name: function for function in graph.library.function}
    programs, others, waiting = 0, [], [graph.node]
    while waiting:
        for node in waiting.pop():
            called = [functions[name] for name in _called(node)]
            if any(_is_compiled(one) for one in (node, *called)):
                programs += 1
                continue
            waiting += [function.node_def for function in called]
            if not (node.op in HANDED_ON + BATCHES or (node.op in COUNTERS and _is_of_whole_numbers(node))):
                others.append(node.op)
    return programs, sorted(others)


def _called(node):
    """Names of the functions that a node calls."""
    for value in node.attr.values():
        yield from [value.func.name] if value.HasField("func") else [one.name for one in value.list.func]


def _is_compiled(one):
    return "_XlaMustCompile" in one.attr and one.attr["_XlaMustCompile"].b


def _is_of_whole_numbers(node):
    return tf.as_dtype(node.attr["T"].type).is_integer
