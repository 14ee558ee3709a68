"""A cluster of Ray's with some nodes on this machine, for a test: each of them tells its id and the process that stands
for it, the first of which is the head. `kill N` ends a node as a machine ends that loses its power, without a farewell;
`end`, or the end of the test, ends all."""

import json
import os
import shutil
import sys
import tempfile

# A cluster asks for a token where the program that joins it has one.
token = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
if os.environ.get("RAY_AUTH_TOKEN") or os.path.exists(token):
    os.environ.setdefault("RAY_AUTH_MODE", "token")

from ray.cluster_utils import Cluster  # noqa: E402


def told(node):
    (raylet,) = node.all_processes["raylet"]
    return {"id": node.node_id, "raylet": raylet.process.pid}


folder = tempfile.mkdtemp(prefix="ray-")
# Where Ray looks for the folder of its own, which it does not make in time.
os.environ["RAY_TMPDIR"] = folder
os.mkdir(os.path.join(folder, "ray"))
head, *others = json.loads(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
try:
    nodes = [cluster.head_node, *(cluster.add_node(**node) for node in others)]
    cluster.wait_for_nodes()
    print(json.dumps({"address": cluster.address, "nodes": [told(node) for node in nodes]}), flush=True)
    for line in sys.stdin:
        command, *number = line.split()
        if command == "end":
            break
        cluster.remove_node(nodes[int(*number)], allow_graceful=False)
finally:
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
