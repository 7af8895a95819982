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


# Under names of our own: starlette keeps convertors for the whole process, and other applications in it have theirs.
register_url_convertor("recsys_id", IdConvertor())
register_url_convertor("recsys_user", UserIdConvertor())
