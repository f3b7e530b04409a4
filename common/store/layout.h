/*
 * The one page that names databases, key shapes and field tags of the route store.
 *
 * Databases and keys:
 *   meta      "meta"            -> generation, installation; there once something was published
 *   settings  "settings"        -> base domains, public URL, path routing
 *   routes    app name          -> route record
 *   domains   host, lower case  -> domain record; wildcards as "*.example.com"
 *
 * Values: one format byte (1), then fields of (tag u16, length u32, bytes), integers big-endian.
 * Unknown tags are skipped; tags from 0x8000 up are critical: a reader that does not know one refuses
 * the record (ERROR_FROM_FUTURE). Tags are never reused. Fields that repeat (versions, paths) hold a
 * nested row of fields.
 */
#ifndef COMMON_STORE_LAYOUT_H
#define COMMON_STORE_LAYOUT_H

#define LAYOUT_FORMAT       1
#define LAYOUT_CRITICAL_TAG 0x8000

#define LAYOUT_META     "meta"
#define LAYOUT_SETTINGS "settings"
#define LAYOUT_ROUTES   "routes"
#define LAYOUT_DOMAINS  "domains"

enum layout_meta_tag {
    META_GENERATION = 1,   /* u64: rises with each publishing transaction */
    META_INSTALLATION = 2, /* text: UUID */
    META_PUBLISHED_AT = 3, /* u64: ms since 1970 */
};

enum layout_settings_tag {
    SETTINGS_BASE_DOMAIN = 1,  /* text, repeats */
    SETTINGS_PUBLIC_URL = 2,   /* text */
    SETTINGS_PATH_ROUTING = 3, /* u8: 0 or 1 */
};

enum layout_route_tag {
    ROUTE_APP = 1,     /* text */
    ROUTE_SLOT = 2,    /* u32: dense number for shared counters */
    ROUTE_ENABLED = 3, /* u8 */
    ROUTE_VERSION = 4, /* nested, repeats: enum layout_version_tag */
    ROUTE_MAX_IN_FLIGHT =
        5, /* u32; absent: the daemon's default. These act at once, they are not a version's */
    ROUTE_RATE_MILLI = 6,      /* u64: requests per 1000 s; absent: none */
    ROUTE_BURST = 7,           /* u32 */
    ROUTE_DEADLINE_MS = 8,     /* u32; absent: the version's timeout + 1 s */
    ROUTE_MAX_BODY_BYTES = 9,  /* u64; absent: the daemon's default */
    ROUTE_STICKY = 10,         /* u8: 0 none, 1 cookie, 2 address */
    ROUTE_REVISION = 11,       /* u64: of the app's record in state */
    ROUTE_PREVIEWS = 12,       /* u8: v{n}--{app} hosts reach each version; absent: no */
    ROUTE_VERSION_HEADER = 13, /* u8: clients may ask for a version by header; absent: no */
    ROUTE_RESPOND_ASYNC = 14,  /* u8: Prefer: respond-async is granted; absent: no */
    ROUTE_SUM =
        15, /* 8 bytes: of the SHA-256 of all before it; the last field; with ROUTE_ACCESS */
    ROUTE_ACCESS =
        0x8001, /* nested: who may call; absent: everybody. 0x8000 stays free, for tests */
};

/* Each is a rule of its own, and critical: a proxy that does not know it must not let callers by. */
enum layout_access_tag {
    ACCESS_API_KEYS = 0x8001, /* nested: enum layout_api_keys_tag; absent: no key is asked for */
    ACCESS_JWT = 0x8002,      /* nested: enum layout_jwt_tag; absent: no token is asked for */
    ACCESS_CORS = 0x8003, /* nested: enum layout_cors_tag; absent: cross-origin is the function's */
};

enum layout_cors_tag {
    CORS_ORIGIN = 1,          /* text, repeats: a pattern (common/contract/cors.h) */
    CORS_METHODS = 2,         /* text: a header's value; so are the next two. Absent: none */
    CORS_HEADERS = 3,         /* text */
    CORS_EXPOSED = 4,         /* text */
    CORS_MAX_AGE_S = 5,       /* u32; absent: not said */
    CORS_CREDENTIALS = 6,     /* u8; absent: no */
    CORS_PRIVATE_NETWORK = 7, /* u8; absent: no */
};

enum layout_api_keys_tag {
    API_KEYS_HEADER = 1, /* text: the header that carries the key */
    API_KEYS_KEY = 2,    /* nested, repeats: enum layout_api_key_tag; none: nobody has one */
};

enum layout_api_key_tag {
    API_KEY_ID = 1,         /* text */
    API_KEY_HASH = 2,       /* 32 bytes: SHA-256 of the key */
    API_KEY_EXPIRES_AT = 3, /* u64: ms since 1970; absent: never */
};

enum layout_jwt_tag {
    JWT_ISSUER = 1,     /* text */
    JWT_AUDIENCE = 2,   /* text, repeats: one of them must be in the token */
    JWT_SCOPE = 3,      /* text, repeats: so must one of these; absent: no scope is asked for */
    JWT_ALGORITHMS = 4, /* u32: bits, see common/base/signature.h */
    JWT_LEEWAY_S = 5,   /* u32 */
    JWT_KEY = 6,        /* nested, repeats: enum layout_jwt_key_tag; none: they are not known yet */
};

enum layout_jwt_key_tag {
    JWT_KEY_KID = 1,        /* text; absent: it has none */
    JWT_KEY_KIND = 2,       /* u8: enum signature_kind */
    JWT_KEY_ALGORITHMS = 3, /* u32: bits */
    JWT_KEY_DER = 4,        /* SubjectPublicKeyInfo */
};

enum layout_version_tag {
    VERSION_NUMBER = 1,         /* u32 */
    VERSION_WEIGHT = 2,         /* u16: parts of 10,000; 0: reachable by preview only */
    VERSION_FUNCTION = 3,       /* text: function name or ARN, without qualifier */
    VERSION_QUALIFIER = 4,      /* text: Lambda version */
    VERSION_PAYLOAD_FORMAT = 5, /* u8: 1 = 1.0, 2 = 2.0, 3 = alb */
    VERSION_RESPONSE_MODE = 6,  /* u8: 0 buffered, 1 stream, 2 auto */
    VERSION_MULTI_VALUE = 7,    /* u8: alb multi-value headers */
    VERSION_TIMEOUT_S = 8,      /* u32: the function's own timeout */
};

enum layout_domain_tag {
    DOMAIN_HOST = 1,            /* text */
    DOMAIN_PATH = 2,            /* nested, repeats */
    DOMAIN_TLS_FINGERPRINT = 3, /* text */
};

enum layout_path_tag {
    PATH_PREFIX = 1, /* text */
    PATH_APP = 2,    /* text */
    PATH_STRIP = 3,  /* u8 */
};

#endif
