"""HTTP routes, one file a resource."""

from starlette.convertors import register_url_convertor

from service.http.addresses import IdConvertor

# Under a name of our own: starlette keeps convertors for the whole process, and other applications in it have theirs.
register_url_convertor("recsys_id", IdConvertor())
