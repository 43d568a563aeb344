"""What databases were: XOR deltas of their pages, walked backwards from the present.

bookmark   names of moments            delta    what differs between two images of a page
encode     from commits to blocks      block    the format
file       files by their names        scan     what is in them, and what is damaged
shape      the files of one tree       view     what they tell
log        what is added and dropped   past     a tree as it was
archive    all trees of a host, and the limit on them
"""

from storage.history.archive import Archive as Archive
from storage.history.block import Block as Block
from storage.history.block import Node as Node
from storage.history.bookmark import ORIGIN as ORIGIN
from storage.history.bookmark import Bookmark as Bookmark
from storage.history.bookmark import Mark as Mark
from storage.history.encode import NOTHING as NOTHING
from storage.history.encode import Change as Change
from storage.history.encode import Image as Image
from storage.history.encode import bound as bound
from storage.history.encode import changed as changed
from storage.history.encode import created as created
from storage.history.encode import deleted as deleted
from storage.history.encode import moved as moved
from storage.history.encode import thin as thin
from storage.history.log import TreeLog as TreeLog
from storage.history.past import PastDatabase as PastDatabase
from storage.history.past import TreeState as TreeState
from storage.history.past import rewind as rewind
