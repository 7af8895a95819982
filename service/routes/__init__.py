"""HTTP routes, one file a resource."""

from starlette.convertors import PathConvertor, register_url_convertor


class IdConvertor(PathConvertor):
    """An id in an address: any text, line breaks too, which starlette's own `path` takes for no match (a 404)."""

    regex = "(?s:.*)"


register_url_convertor("path", IdConvertor())
