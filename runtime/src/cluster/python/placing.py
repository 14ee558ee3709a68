"""Whether the nodes that there are could ever hold what asks for resources, and for a place, if nothing else were on
them: why not, or nothing. A node is as Ray tells of it."""


def refusal(options, nodes):
    """Why no node can ever run a call, or an actor, of these options."""
    wanted, labels, id = amounts(options), _labels(options), _node(options)
    for node in nodes:
        fits = _has(node["Resources"], wanted) and labels.items() <= node.get("Labels", {}).items()
        if fits and id in (None, node["NodeID"]):
            return None
    asked = _told(wanted) + "".join(f" and the label {name}={value}" for name, value in labels.items())
    if id is not None:
        asked += f" and the id {id}"
    return f"no node of the cluster has {asked}"


def refusal_by_group(options, bundles, bundle):
    """Why a call, or an actor, fits into none of the bundles of a group, or not into that of this number."""
    chosen = bundles if bundle is None else bundles[bundle : bundle + 1]
    wanted = amounts(options)
    if any(_has(resources, wanted) for resources in chosen):
        return None
    which = "no bundle" if bundle is None else f"no bundle {bundle}"
    return f"the placement group has {which} with {_told(wanted)}"


def refusal_of_group(strategy, bundles, nodes):
    """Why no nodes can ever hold such a group."""
    nodes = [node["Resources"] for node in nodes]
    if strategy == "STRICT_PACK":
        wanted = _sum(bundles)
        if any(_has(node, wanted) for node in nodes):
            return None
        return f"STRICT_PACK: no node of the cluster has {_told(wanted)}, for all bundles of the group"
    for wanted in bundles:
        if not any(_has(node, wanted) for node in nodes):
            return f"{strategy}: no node of the cluster has {_told(wanted)}, for a bundle of the group"
    if strategy == "STRICT_SPREAD":
        apart = _most_apart(bundles, nodes)
        if apart < len(bundles):
            text = f"the cluster has nodes for {apart} of the group's {len(bundles)} bundles, each on one of its own"
            return f"STRICT_SPREAD: {text}"
    elif not _has(_sum(nodes), _sum(bundles)):
        return f"{strategy}: the cluster has no {_told(_sum(bundles))}, for all bundles of the group"
    return None


def amounts(options):
    """What is asked for, by Ray's names: one CPU, where none is told."""
    wanted = {"CPU": options.get("num_cpus", 1)}
    for name, amount in options.get("resources", {}).items():
        wanted["GPU" if name == "gpu" else name] = amount
    return wanted


def _labels(options):
    """The labels that a node is to have."""
    placement = options.get("placement")
    return placement.get("labels", {}) if isinstance(placement, dict) else {}


def _node(options):
    """The id that a node is to have; None: any."""
    placement = options.get("placement")
    node = placement.get("node") if isinstance(placement, dict) else None
    return None if node is None or node["soft"] else node["id"]


def _has(resources, wanted):
    return all(resources.get(name, 0) >= amount for name, amount in wanted.items())


def _sum(all):
    """In steps that are Ray's, so that three times 0.1 is 0.3."""
    names = {name for each in all for name in each}
    return {name: round(sum(each.get(name, 0) for each in all), 4) for name in names}


def _told(wanted):
    return ", ".join(f"{amount:g} {name}" for name, amount in sorted(wanted.items()))


def _most_apart(bundles, nodes):
    """How many of the bundles get a node of their own: each that has none takes one from another, if that finds a node
    elsewhere."""
    holds = {}

    def finds_one(bundle, seen):
        for number, node in enumerate(nodes):
            if number in seen or not _has(node, bundles[bundle]):
                continue
            seen.add(number)
            if number not in holds or finds_one(holds[number], seen):
                holds[number] = bundle
                return True
        return False

    return sum(finds_one(bundle, set()) for bundle in range(len(bundles)))
