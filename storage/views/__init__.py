"""Parts of one actor's state that can be handed on: what a view does not name does not exist.

    view     what all of them have
    files    below one directory
    kv       keys with one prefix
    sql      some tables

A view checks each use for itself, also in trusted code; it is not a copy, and what it shows is
what is there at that moment. Its limits are those of code that is not trusted, whatever the
limits of the database are.
"""

from storage.views.files import FileView as FileView
from storage.views.kv import KvView as KvView
from storage.views.sql import SqlView as SqlView
from storage.views.view import View as View
