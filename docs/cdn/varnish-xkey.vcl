# Varnish 7 with vmod xkey (package varnish-modules): tags are purged at once, by key, whatever the size of the cache
# (PERFCHECK_PURGE_STYLE=xkey, the default). Paths and "everything" are bans, as in varnish.vcl, which this includes.
vcl 4.1;

import std;
import xkey;

sub vcl_recv {
    if (req.method == "PURGE") {
        call purge_allowed;
        if (!req.http.xkey-purge) {
            return (synth(400, "name xkey-purge"));
        }
        set req.http.Purged = xkey.purge(req.http.xkey-purge);
        return (synth(200, "purged " + req.http.Purged));
    }
}

sub vcl_backend_response {
    # Tags are compared in small letters, as the page cache does.
    set beresp.http.xkey = std.tolower(beresp.http.Cache-Tag);
}

sub vcl_deliver {
    unset resp.http.xkey;
}

include "./varnish.vcl";
