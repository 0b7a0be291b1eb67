"""Each step of the protocol of ordered folders at which a process may die, by what it is doing then."""

from __future__ import annotations

from tests.replicators.killed_at import Moment


def moments(*lines: str) -> list[Moment]:
    found = []
    for line in lines:
        function, when, call = line.split()
        found.append(Moment(function, when, int(call)))
    return found


WRITING = moments(
    # append and local write
    "journal:Journal.append before 60",
    "journal:Journal.append after 61",
    "journal:_write_all half 62",
    "journal:Journal._roll before 2",
    "journal:Journal._roll after 2",
    "capture.files:write_all before 30",
    "capture.files:write_all half 31",
    "capture.files:write_all after 32",
    "capture.names:_make_file before 3",
    "capture.names:_make_file after 4",
    "capture.operations:Fuse.opendir before 3",
    "tree:Tree.set_fid after 5",
    "capture.log:Mark.set before 50",
    # flush, send, acknowledgement
    "gate:Gate.wait before 9",
    "gate:Gate.wait after 10",
    "ship:Channel.send before 12",
    "session:Session.write half 14",
    "ship:Channel.send after 16",
    "gate:Gate.acknowledge before 20",
    "gate:Gate.acknowledge after 21",
    "journal:Journal.delete_below before 1",
)
FOLLOWING = moments(
    # spool
    "journal:Journal.append_raw before 9",
    "journal:_write_all half 10",
    "journal:Journal.append_raw after 11",
    "journal:Journal._roll before 2",
    "journal:Journal._roll after 3",
    "journal:Journal.sync before 7",
    "journal:Journal.sync after 8",
    "spool:Spool._acknowledge before 12",
    # apply
    "apply:Applier.apply before 40",
    "apply:Applier.apply after 41",
    "apply:write_all half 20",
    "tree:Tree.set_applied before 6",
    "tree:Tree.set_applied after 7",
    "apply_names:NameApplier.apply after 8",
    "tree:Tree.set_fid before 5",
    "whereabouts:Whereabouts.remove before 3",
    # checkpoint
    "apply:Applier.checkpoint before 1",
    "apply:Applier.checkpoint after 1",
    "meta:MetaFile._save before 1",
    "meta:MetaFile._save after 1",
    "journal:Journal.delete_below before 1",
    "journal:Journal.delete_below after 1",
)
BRINGING = moments(
    "levelling:Levelling.bring before 1",
    "base_copy:BaseCopy._open after 1",
    "capture.nodes:Nodes.mark before 3",
    "capture.nodes:Nodes.mark after 4",
    "mirror:Mirror._serve before 1",
    "sender:Sender.small after 5",
    "sender:Sender.large before 1",
    "mirror:Mirror._finish before 1",
    "levelling:Levelling.bring after 1",
    "levelling:Levelling.begin before 1",
    "levelling:Levelling.begin after 1",
    "image:Image.add after 1",
    "capture.compare:Comparison._check before 1",
    "capture.compare:Comparison._close before 1",
    "capture.compare:Comparison._close after 1",
    "source:Source._level before 1",
    "meta:MetaFile._save after 1",
    "ship:Channel.send after 2",
)
BROUGHT = moments(
    "resync:Receiving.open_base_copy before 1",
    "hot:HotFile.replace after 1",
    "meta:MetaFile._save after 1",
    "resync:Receiving.open_base_copy after 1",
    "landing:Landing.take before 2",
    "quarantine:Open._note before 1",
    "quarantine:Open._note after 1",
    "placing:Placer._file before 3",
    "placing:Placer._file after 5",
    "partial:Partials.write half 1",
    "partial:Partials.finish after 1",
    "partial:Partials._clone after 1",
    "landing:Landing._delete before 1",
    "landing:Landing._mark before 1",
    "landing:Landing._mark after 1",
    "resync:Receiving.close_base_copy before 1",
    "resync:Receiving.close_base_copy after 1",
    "resync:Receiving.begin before 1",
    "resync:Receiving.begin after 1",
    "resync:Receiving._answer before 1",
    "answer:Answerer._listed after 1",
    "resync:Receiving._files_change after 1",
    "resync:Receiving.closing before 1",
    "carrying:Carrying._checkpoint after 1",
)
SENDING_ALL = moments(
    "levelling:Levelling.begin before 1",
    "levelling:Levelling.begin after 1",
    "capture.outlining:Outlining._say before 1",
    "capture.outlining:Outlining._learn after 1",
    "image:Image.add after 1",
    "capture.compare:Comparison.run before 1",
    "capture.compare:Comparison._check before 2",
    "capture.compare:Comparison._piece before 5",
    "capture.compare:Comparison._piece after 3",
    "capture.compare:Comparison._close before 1",
    "capture.compare:Comparison._close after 1",
    "source:Source._level before 1",
    "meta:MetaFile._save after 1",
    "ship:Channel.send after 3",
)
RECEIVING_ALL = moments(
    "resync:Receiving.begin before 1",
    "journal:Journal.restart before 1",
    "journal:Journal.restart after 1",
    "resync:Receiving.begin after 1",
    "answer:Questions.next after 1",
    "spool:Spool._tell after 1",
    "resync:Receiving._look_ahead before 1",
    "resync:Receiving._look_ahead after 1",
    "keeping:Keeper._keep before 1",
    "quarantine:Open._note before 1",
    "quarantine:Open._note after 1",
    "resync:Receiving._files_change before 1",
    "apply:Applier.restart after 1",
    "resync:Receiving._files_change after 1",
    "apply:Applier.apply after 3",
    "resync:Receiving.closing before 1",
    "resync:Receiving.closing after 1",
    "carrying:Carrying._checkpoint after 1",
    "journal:Journal.delete_below before 1",
)
TAKING_OVER = moments(
    "spool:Spool.finish after 1",
    "meta:MetaFile._save after 1",
    "journal:Journal.begin_generation after 1",
    "capture.group:Capture.mount after 1",
)
HANDING_OVER = moments(
    "capture.group:Capture.unmount after 1",
    "hot:HotFile.replace after 1",
    "meta:MetaFile._save after 1",
)
COPYING_WHAT_WAS_LEFT_OUT = moments(
    "source:copy_dirty before 1",
    "capture.files:Files.copy before 1",
    "capture.files:Files.copy after 1",
    "source:copy_dirty after 1",
    "queue:Queue.closed before 1",
    "queue:Queue.closed after 1",
)
