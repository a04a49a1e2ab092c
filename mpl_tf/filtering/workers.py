"""The worker processes of Beam's local runner, started and watched: where one is lost, the run ends and says so.

Beam alone would wait for the lost one without an end.
"""

import sys
import threading

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.transforms import environments

from mpl_tf.filtering import worker

PAUSE = 0.5  # Seconds between two looks for requests that nobody will answer.


def environment():
    """The beam environment whose workers are processes of filtering/worker.py."""
    command = f"exec {sys.executable} -m {worker.__name__}"  # In place of the shell, which would tell of a kill.
    return environments.SubprocessSDKEnvironment.from_command_string(command)


@worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class Watched(worker_handlers.SubprocessSdkWorkerHandler):
    """Beam's handler of a worker process, which answers in its stead when it is gone."""

    def start_worker(self):
        """Start the process, and the thread that waits for its end."""
        about = (self._worker_command_line, self.control_address, self.provision_info, self.worker_id)
        self.worker, self._stopped = local_job_service.SubprocessSdkWorker(*about), threading.Event()
        self.worker_thread = threading.Thread(target=self._watch, name="run_worker", daemon=True)
        self.worker_thread.start()

    def stop_worker(self):
        """Wait for the end of the process."""
        self._stopped.set()
        super().stop_worker()

    def _watch(self):
        try:
            self.worker.run()
        except RuntimeError as error:
            # What was asked of it, and what is asked from now on, is answered with the error.
            while True:
                for number, future in list(self.control_conn._futures_by_id.items()):
                    future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=number, error=str(error)))
                if self._stopped.wait(PAUSE):
                    return
