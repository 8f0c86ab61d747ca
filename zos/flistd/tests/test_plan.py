"""What is mounted for which records, and what mountinfo says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zos.flistd import model
from zos.flistd.api import BadMount, Mount, MountId
from zos.flistd.fake import FakeHost
from zos.flistd.model import DesiredMount, ObservedMount, ObservedMounts, ObservedTree
from zos.flistd.plan import plan
from zos.flistd.steps import DropMount, DropTree, MountTree, PutMount
from zos.runtime.linux import parse_mountinfo

F, G = "f" * 64, "0" * 64
A, B = MountId("a"), MountId("b")
UPPER = Path("/mnt/pool/vol")
READ_ONLY, WRITABLE = DesiredMount(F, None), DesiredMount(F, UPPER)
DONE = ObservedMounts(
    (ObservedTree(f"{F}-1", True),), {A: (ObservedMount(f"{F}-1", None),), B: (ObservedMount(f"{F}-1", UPPER),)}
)


def test_mounts_of_one_flist_share_its_server():
    assert plan({A: READ_ONLY, B: WRITABLE}, ObservedMounts()) == (
        MountTree(f"{F}-1"),
        PutMount(A, f"{F}-1", None),
        PutMount(B, f"{F}-1", UPPER),
    )


def test_nothing_is_done_twice():
    assert plan({A: READ_ONLY, B: WRITABLE}, DONE) == ()


def test_the_last_mount_takes_the_server_with_it():
    assert plan({A: READ_ONLY}, DONE) == (DropMount(B),)
    assert plan({}, DONE) == (DropMount(A), DropMount(B), DropTree(f"{F}-1"))


def test_a_dead_server_is_replaced_and_all_that_stood_on_it():
    dead = ObservedMounts((ObservedTree(f"{F}-1", False),), DONE.mounts)
    assert plan({A: READ_ONLY, B: WRITABLE}, dead) == (
        DropMount(A),
        DropMount(B),
        MountTree(f"{F}-2"),
        PutMount(A, f"{F}-2", None),
        PutMount(B, f"{F}-2", UPPER),
        DropTree(f"{F}-1"),
    )


def test_a_mount_over_a_tree_that_is_gone_is_made_again():
    assert plan({A: READ_ONLY}, ObservedMounts((), {A: DONE.mounts[A]})) == (
        DropMount(A),
        MountTree(f"{F}-1"),
        PutMount(A, f"{F}-1", None),
    )


@pytest.mark.parametrize("mount", [DesiredMount(F, UPPER), DesiredMount(G, None)], ids=["writable", "another flist"])
def test_another_flist_or_layer_is_mounted_anew(mount: DesiredMount):
    observed = ObservedMounts(DONE.trees, {A: DONE.mounts[A]})
    steps = plan({A: mount}, observed)
    assert steps[0] == DropMount(A)
    assert PutMount(A, f"{mount.flist}-1", mount.upper) in steps


def test_two_mounts_on_each_other_are_cleared():
    twice = ObservedMounts(DONE.trees, {A: DONE.mounts[A] * 2})
    assert plan({A: READ_ONLY}, twice) == (DropMount(A), PutMount(A, f"{F}-1", None))


DESIRED = st.dictionaries(
    st.sampled_from([A, B, MountId("c")]),
    st.builds(DesiredMount, st.sampled_from([F, G]), st.sampled_from([None, UPPER])),
)
TREES = st.dictionaries(st.sampled_from([f"{F}-1", f"{F}-2", f"{G}-7"]), st.booleans())
STACKS = st.dictionaries(
    st.sampled_from([A, B, MountId("c"), MountId("d")]),
    st.lists(
        st.builds(ObservedMount, st.sampled_from([f"{F}-1", f"{F}-2", f"{G}-3"]), st.sampled_from([None, UPPER])),
        min_size=1,
        max_size=2,
    ).map(tuple),
)


@given(DESIRED, TREES, STACKS)
@example(
    {A: DesiredMount(F, None)},
    {f"{F}-1": True, f"{F}-2": True},
    {A: (ObservedMount(f"{F}-2", None),), MountId("c"): (ObservedMount(f"{F}-1", None),)},
)
async def test_from_anywhere_the_plan_leads_to_the_desired_state_and_then_rests(desired, trees, stacks):
    host = FakeHost(trees=dict(trees), mounts=dict(stacks))
    for step in plan(desired, await host.observe()):
        assert step.describe()
        await host.apply(step)
    observed = await host.observe()
    assert plan(desired, observed) == ()
    assert {id: (seen.source[:64], seen.upper) for id, (seen,) in observed.mounts.items()} == {
        id: (mount.flist, mount.upper) for id, mount in desired.items()
    }
    assert {tree.flist for tree in observed.trees} == {mount.flist for mount in desired.values()}


MOUNTINFO = f"""\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
42 27 0:39 / /m/.trees/{F}-3 ro,nosuid shared:1 master:2 - fuse.zos {F}-3 ro,user_id=0
43 27 0:39 / /m/a ro,nosuid - fuse.zos {F}-3 ro,user_id=0
44 27 0:40 / /m/b rw,nosuid - overlay {F}-3 rw,lowerdir=/m/.trees/{F}-3,upperdir=/v/with\\040space/rw,workdir=/v/x/wd
45 27 0:41 / /m/other rw - tmpfs tmpfs rw
46 27 0:42 / /m/.trees/{G}-1 ro - fuse.zos {G}-1 ro
47 27 0:42 / /elsewhere/a ro - fuse.zos {G}-1 ro
torn line
"""


def test_mountinfo_tells_which_mount_stands_on_which_server():
    observed = model.observed_mounts(parse_mountinfo(MOUNTINFO), Path("/m"), frozenset({f"{F}-3"}))
    assert observed.trees == (ObservedTree(f"{F}-3", True), ObservedTree(f"{G}-1", False))
    assert observed.mounts == {
        A: (ObservedMount(f"{F}-3", None),),
        B: (ObservedMount(f"{F}-3", Path("/v/with space")),),
        MountId("other"): (ObservedMount("", None),),
    }


@given(st.text(max_size=300))
def test_no_mountinfo_is_too_odd(text: str):
    model.observed_mounts(parse_mountinfo(text), Path("/m"), frozenset())


@pytest.mark.parametrize("id", ["", ".", "..", ".trees", "a/b", "-a", "a\n", "a" * 129, "ä"])
def test_an_id_becomes_a_folder_and_nothing_else(id: str):
    with pytest.raises(BadMount, match="the id"):
        model.canonical(Mount(MountId(id), "http://hub/a.fl"), "")


@pytest.mark.parametrize(
    "mount",
    [
        Mount(A, ""),
        Mount(A, "http://hub/a b.fl"),
        Mount(A, "http://hub/" + "a" * 2048),
        Mount(A, "http://hub/a.fl", hash="abc"),
        Mount(A, "http://hub/a.fl", Path("relative")),
        Mount(A, "http://hub/a.fl", Path("/a,b")),
        Mount(A, "http://hub/a.fl", Path("/a:b")),
    ],
)
def test_what_cannot_be_a_mount_is_refused(mount: Mount):
    with pytest.raises(BadMount):
        model.canonical(mount, "http://hub")


def test_a_name_without_a_host_is_the_hubs():
    assert model.canonical(Mount(A, "user/x.fl"), "http://hub:8080/").url == "http://hub:8080/user/x.fl"
    with pytest.raises(BadMount, match="no hub"):
        model.canonical(Mount(A, "user/x.fl"), "")
