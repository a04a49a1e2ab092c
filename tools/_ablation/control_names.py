"""The controls of exact feedback by name, without TensorFlow: what each puts in the place of the feedback's table."""

# Each keeps what its name leaves standing; FORMS of controls.py has their classes.
CONTROLS = {
    "shuffled_rows": "its rows, those of other examples of the batch: what is left is what the batch has in common",
    "minus_mean": "the table minus its batch mean: what is left differs between examples",
    "minus_mean_shuffled": "the same, rows shuffled: nothing is left but the size",
    "batch_mean": "its batch mean, the same row for every example",
    "shuffled_labels": "the table of a labeled loss whose labels are shuffled",
    "random_direction": "a random table whose gradient at the teacher's logits has the same norm in each step",
}
