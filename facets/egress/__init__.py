"""Egress: the only way out of an isolate.

    egress       Egress, and the Exit that one isolate gets
    rules        what may be asked of whom, with which credentials and limits
    messages     Request and Response, as both sides see them
    budget       what one exit may use in all
    audit        one record of every attempt
    errors       everything that goes wrong

    outgoing     a request on its way, hop by hop     urls         the only reading of a URL
    headers      which may pass, in and out           paths        patterns, and what servers read
    hop          one request to one place             addresses    which may be connected to
    answer       the body as it comes in              resolving    names to checked addresses
    scrubbing    secrets taken out of answers         decoding     gzip with a bound
    route        what brings the answer: network, handler
    connections  pools, one for each rule             transport    httpx on checked addresses
    idle         connections that nobody uses        acting     exits of browsers and commands

Importing this package does not import httpx; making an Egress with rules does.
"""

from facets.egress.answer import StreamedResponse as StreamedResponse
from facets.egress.audit import Attempt as Attempt
from facets.egress.budget import Budget as Budget
from facets.egress.egress import Egress as Egress
from facets.egress.egress import Exit as Exit
from facets.egress.errors import EgressError as EgressError
from facets.egress.messages import Request as Request
from facets.egress.messages import Response as Response
from facets.egress.resolving import Resolver as Resolver
from facets.egress.rules import Rule as Rule
from facets.egress.rules import Timeouts as Timeouts
