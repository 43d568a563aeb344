"""A file system in the database of one actor.

files      the file system itself        handle    an open file
search     walk, glob, grep, diff        streams   contents in pieces, over several steps
entries    making, moving, removing      nodes     directories, links, paths to numbers
contents   files by number               paths     paths as text
extents    what lies where in a file     chunks    contents by hash, here or in a store
tables     the SQL below all of it
spec       as an fsspec file system      resolver  `facets://` addresses
"""

from storage.files.chunks import referenced as referenced
from storage.files.files import Entry as Entry
from storage.files.files import Files as Files
from storage.files.files import Usage as Usage
from storage.files.handle import File as File
from storage.files.nodes import Stat as Stat
from storage.files.search import Match as Match
