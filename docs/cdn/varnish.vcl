# Varnish 7 in front of the page cache, purged by BAN (PERFCHECK_PURGE_STYLE=ban). docs/cdn.md tells the rest.
# Set PURGE_TOKEN in varnishd's environment to what PERFCHECK_PURGE_TOKEN is.
vcl 4.1;

import std;

backend default {
    .host = "127.0.0.1";
    .port = "8080";
}

# Who may purge: the revalidators, by address and by token. Without a token in the environment nobody may.
acl purgers {
    "127.0.0.1";
}

sub purge_allowed {
    if (client.ip !~ purgers) {
        return (synth(403, "this address may not purge"));
    }
    if (!std.getenv("PURGE_TOKEN")) {
        return (synth(403, "PURGE_TOKEN is not set in the environment of varnishd"));
    }
    if (req.http.Authorization != "Bearer " + std.getenv("PURGE_TOKEN")) {
        return (synth(403, "wrong token"));
    }
}

sub vcl_recv {
    if (req.method == "BAN") {
        call purge_allowed;
        if (!req.http.Ban-Tag && !req.http.Ban-Path) {
            return (synth(400, "name Ban-Tag or Ban-Path"));
        }
        # Expressions over stored fields alone can be evaluated by the ban lurker, so that the list stays short.
        if (req.http.Ban-Tag && !std.ban("obj.http.Cache-Tag ~ " + req.http.Ban-Tag)) {
            return (synth(500, std.ban_error()));
        }
        if (req.http.Ban-Path && !std.ban("obj.http.Ban-Path ~ " + req.http.Ban-Path)) {
            return (synth(500, std.ban_error()));
        }
        return (synth(200, "banned"));
    }
    if (req.method == "PURGE") {
        return (synth(405, "set PERFCHECK_PURGE_STYLE=ban"));
    }
    # Who has just written must see it: such requests are neither answered from here nor kept.
    if (req.http.Consistency-Token || req.http.Cookie ~ "(?i)(^|;)\s*consistency-token=") {
        return (pass);
    }
}

sub vcl_backend_response {
    set beresp.http.Ban-Path = bereq.url;
    # CDN-Cache-Control (RFC 9213) is meant for caches like this one; Varnish itself does not read it.
    if (beresp.http.Cache-Control ~ "(?i)(^|[,\s])(no-store|private)([,\s]|$)") {
        # The page cache says so of what is stale or overtaken. An empty lifetime keeps nothing.
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
    } elsif (beresp.http.CDN-Cache-Control ~ "(?i)(^|[,\s])(no-store|private|no-cache)([,\s=]|$)") {
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
    } elsif (beresp.http.CDN-Cache-Control ~ "(?i)(^|[,\s])max-age=\d+") {
        set beresp.ttl = std.duration(
            regsub(beresp.http.CDN-Cache-Control, "(?i)^(?:.*[,\s])?max-age=(\d+).*$", "\1") + "s", 0s);
        # What the page has already spent in the page cache counts.
        set beresp.ttl = beresp.ttl - std.duration(beresp.http.Age + "s", 0s);
    } elsif (beresp.http.Cache-Control !~ "(?i)(^|[,\s])s-maxage=\d+") {
        # Not meant for shared caches: Varnish's own default of two minutes must not apply.
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
    }
    # Nothing is served past its lifetime, or while it is fetched anew.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
}

sub vcl_deliver {
    unset resp.http.Ban-Path;
    unset resp.http.CDN-Cache-Control;
    set resp.http.X-Cache = req.http.X-Served;
}

sub vcl_hit {
    set req.http.X-Served = "hit";
}

sub vcl_miss {
    set req.http.X-Served = "miss";
}

sub vcl_pass {
    set req.http.X-Served = "pass";
}
