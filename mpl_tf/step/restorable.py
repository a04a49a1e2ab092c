"""A method as one .keras file: what Keras needs to make it again, compiled, before it reads its variables."""

import inspect
import types

import keras


class Restorable(keras.Model):
    """A keras.Model that save() and ModelCheckpoint write whole, and keras.models.load_model opens and goes on with.

    The module of its class must be imported when it is opened. Networks are written as Keras writes any.
    """

    compiled_with = None  # SimpleNamespace of compile()'s `options`, the optimizers aside.

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("mpl_tf")(cls)

    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls, *args, **kwargs)
        # Past Keras' own __setattr__, which is not ready yet; in a namespace, where save() does not walk.
        given = inspect.signature(cls.__init__).bind(made, *args, **kwargs).arguments
        arguments = {name: value for name, value in list(given.items())[1:] if name != "kwargs"}
        given = types.SimpleNamespace(arguments=arguments | given.get("kwargs", {}))
        object.__setattr__(made, "given", given)
        return made

    def get_config(self):
        arguments = {"name": self.name} | self.given.arguments
        return {name: keras.saving.serialize_keras_object(value) for name, value in arguments.items()}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A new one of the same arguments, its networks with new weights."""
        objects = {"custom_objects": custom_objects}
        return cls(**{key: keras.saving.deserialize_keras_object(value, **objects) for key, value in config.items()})

    def get_compile_config(self):
        """What compile() was given, with the optimizers as they are now; {} before it."""
        if self.compiled_with is None:
            return {}
        found = {role: learner.optimizer for role, learner in self.learners().items()}
        optimizers = {"optimizer": found.get("student") or next(iter(found.values()))}
        if len(found) > 1:
            optimizers["teacher_optimizer"] = found["teacher"]
        return keras.saving.serialize_keras_object(optimizers | self.compiled_with.options)

    def compile_from_config(self, config):
        """Compile as it was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
