"""search.execution.packs: every trial in one pack, with its like, and within the limits."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ae_model import Configuration
from ae_model.padding import ZERO_AT_ZERO
from search.execution.packs import ON_CPU, ON_GPU, PackLimits, make_packs

Fields = list[tuple[tuple[int, ...], str, str, float, int]]
# Fields of configurations, and not these themselves: beartype's checks draw random numbers, which strategies must not.
_fields = st.tuples(
    st.lists(st.sampled_from([2, 3, 8, 64, 512, 4096]), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["relu", "sigmoid"]),
    st.sampled_from(["linear", "sigmoid"]),
    st.sampled_from([0.1, 0.01]),
    st.sampled_from([16, 32]),
)
_trials = st.lists(_fields, min_size=1, max_size=30, unique=True)
_n_rows = st.sampled_from([10, 10**3, 10**5])


def _make(fields: Fields) -> dict[str, Configuration]:
    return {
        f"t{number}": Configuration(
            layer_sizes=(20, *sizes),
            hidden_activation=hidden,
            code_activation=code,
            learning_rate=rate,
            batch_size=batch_size,
        )
        for number, (sizes, hidden, code, rate, batch_size) in enumerate(fields)
    }


def _work(configurations: list[Configuration]) -> float:
    """Multiplications and additions of three passes through a model as wide as the widest, for each member."""
    widest = [max(widths) for widths in zip(*(c.layer_sizes for c in configurations), strict=True)]
    weights = sum(2 * a * b for a, b in pairwise(widest))
    biases = sum(a + b for a, b in pairwise(widest))
    return 6.0 * len(configurations) * (weights + biases)


@given(fields=_trials, n_rows=_n_rows)
def test_every_trial_is_in_one_pack(fields: Fields, n_rows: int) -> None:
    """Packs are a partition of the trials, the one with the most work first."""
    trials = _make(fields)
    packs = make_packs(trials, n_rows=n_rows)
    assert sorted(trial_id for pack in packs for trial_id in pack) == sorted(trials)
    assert all(packs)
    work = [_work(list(pack.values())) for pack in packs]
    assert work == sorted(work, reverse=True)


@given(fields=_trials, n_rows=_n_rows)
def test_members_share_what_one_batched_model_needs(fields: Fields, n_rows: int) -> None:
    """Depth, batch size and activations are equal in a pack; widths too where zero padding would not stay zero."""
    trials = _make(fields)
    for pack in make_packs(trials, n_rows=n_rows):
        members = [trials[trial_id] for trial_id in pack]
        assert len({len(c.layer_sizes) for c in members}) == 1
        assert len({c.batch_size for c in members}) == 1
        names = {(c.hidden_activation, c.code_activation, c.output_activation) for c in members}
        assert len(names) == 1
        hidden, code, _ = names.pop()
        if not {hidden, code} <= ZERO_AT_ZERO:
            assert len({c.layer_sizes for c in members}) == 1


@given(fields=_trials, n_rows=_n_rows, limits=st.sampled_from([ON_CPU, ON_GPU]))
def test_packs_are_small_and_hold_little_padding(fields: Fields, n_rows: int, limits: PackLimits) -> None:
    """A pack of more than one is within the limits for its work and for the part of it that is padding."""
    trials = _make(fields)
    for pack in make_packs(trials, n_rows=n_rows, limits=limits):
        if len(pack) > 1:
            members = [trials[trial_id] for trial_id in pack]
            assert _work(members) * n_rows <= limits.max_flop
            own = sum(_work([member]) for member in members)
            assert 1 - own / _work(members) <= limits.max_padding + 1e-12


@given(fields=_trials, n_rows=_n_rows, data=st.data())
def test_the_order_of_the_trials_does_not_matter(fields: Fields, n_rows: int, data: st.DataObject) -> None:
    """Which trials share a pack follows from what they are."""
    trials = _make(fields)
    shuffled = dict(data.draw(st.permutations(list(trials.items()))))
    packs = {frozenset(pack) for pack in make_packs(trials, n_rows=n_rows)}
    assert {frozenset(pack) for pack in make_packs(shuffled, n_rows=n_rows)} == packs


def test_like_trials_do_share_a_pack() -> None:
    """Ten learning rates of one small architecture are one pack; ten times 10 GB of parameters are ten."""
    rates = [0.001 * n for n in range(1, 11)]
    small = {str(r): Configuration(layer_sizes=(64, 32, 8), learning_rate=r) for r in rates}
    assert len(make_packs(small, n_rows=10**3)) == 1
    large = {str(r): Configuration(layer_sizes=(10**5, 10**4, 8), learning_rate=r) for r in rates}
    assert len(make_packs(large, n_rows=10**3)) == 10


def test_no_trials_no_packs() -> None:
    """Nothing makes nothing."""
    assert make_packs({}, n_rows=1) == []
