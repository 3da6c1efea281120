"""URLs, and what should be one, that hold a password or a token, in the ways that people get them wrong."""

__all__ = ["SECRET", "SECRET_URLS"]

SECRET = "hunter2"
SECRET_URLS = [
    # The password has what ends an authority.
    "https://user:hunter2#x@gw.example",
    "https://user:hunter2?x@gw.example",
    "https://user:hunter2/x@gw.example",
    "https://user:x#hunter2@gw.example",
    "https://user:x?hunter2@gw.example",
    "https://user:x/hunter2@gw.example",
    "https://user:x@hunter2@gw.example:port",
    "https://hunter2#@gw.example",
    "https://hunter2[@gw.example",
    "https://user:[hunter2]@gw.example:port",
    "https://user:hunter2\\@gw.example:port",
    # It has no end, or another one.
    "https://user:hunter2",
    "https://user:hunter2:80",
    "https://user:hunter2%40gw.example",
    "https://user:hunter2\uff20gw.example",
    "https://user:hunter2\uff0fgw.example",
    "https://[::1:hunter2",
    "https://[user:hunter2]",
    "https://me@corp.example:hunter2",
    # There is no scheme, another one, or half of one.
    "user:hunter2@gw.example",
    "user:hunter2",
    "user:hunter2://gw.example",
    "//user:hunter2@gw.example",
    "//user:hunter2",
    "https:user:hunter2@gw.example",
    "https:user:hunter2",
    "https:/user:hunter2",
    "https:///user:hunter2@gw.example",
    "https:\\\\user:hunter2",
    "socks9://user:hunter2@gw.example",
    # Something else is wrong.
    "https://user:hunter2@",
    "https://user:hunter2@gw.example:port",
    "https://user:hunter2@gw.example:99999",
    "https://user:hunter2@gw.example:0",
    "https://user:hunter2@1.2.3",
    "https://user:hunter2@exa..mple",
    "https://user:hunter2@gw example",
    "https://user:hunter2@gw.example\n",
    "https://user:hun\tter2@gw.example:hunter2",
    " https://user:hunter2@gw.example",
    "https://user:hunter2@[::1",
    # A token is in the query or the fragment.
    "127.0.0.1:9/?token=hunter2",
    "gw.example?token=hunter2",
    "gw.example#hunter2",
    "https://gw.example:port?token=hunter2",
    "https://gw.example:0/#token=hunter2",
    "https://?token=hunter2",
    "https://1.2.3?mail=me@corp.example&token=hunter2",
    "https://1.2.3?token=a@hunter2",
    "gw.example/?next=http://1.2.3/?token=hunter2",
]
