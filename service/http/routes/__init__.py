"""HTTP routes, one file a resource."""

from starlette.convertors import PathConvertor, register_url_convertor


class IdConvertor(PathConvertor):
    """An id in an address: any text, line breaks too, which starlette's own `path` takes for no match (a 404)."""

    regex = "(?s:.*)"


class UserIdConvertor(IdConvertor):
    """The id of a user where nothing follows it: DELETE /v1/users/ann/recommendations must erase nobody.

    So a user whose id ends like that is answered, but cannot be shown or erased.
    """

    regex = "(?s:.*(?<!/recommendations))"


register_url_convertor("path", IdConvertor())
register_url_convertor("user", UserIdConvertor())
