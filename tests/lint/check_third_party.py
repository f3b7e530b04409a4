"""Each third-party header enters through one file (decisions: replacing a library touches one file)."""
import re

ONLY = {
    "lmdb.h": ["common/store/store_lmdb.h"],
    "curl/": ["common/net/outgoing_call.h"],
    "event2/http": ["common/net/incoming.c", "common/net/incoming_answer.c"],
    "cjson/": ["common/base/json.c"],
    "expat.h": ["common/base/xml.c"],
    "zip.h": ["common/base/archive.c"],
    "emmintrin.h": ["common/base/words.h"],  # the compiler's: SSE2
    "zlib.h": ["common/contract/event_stream.c", "managerd/"],
    "openssl/": ["common/base/crypto.c", "common/base/signature.c", "common/aws/sigv4.c", "common/aws/s3_digest.c", "common/net/tls"],
    "event2/": ["common/net/", "proxyd/", "managerd/", "deploy/lambda-local/", "common/aws/"],
}
SYSTEM = re.compile(r"^(std\w+|string|strings|ctype|errno|fcntl|inttypes|limits|locale|math|poll|pthread|sched|semaphore|signal|time|unistd"
                    r"|getopt|grp|pwd|dirent|ftw|netdb|libgen|ifaddrs|elf|link|dlfcn|assert|float|setjmp|endian|byteswap|malloc|iconv|glob|fnmatch|search|spawn"
                    r"|(sys|netinet|arpa|linux|net)/\w+)\.h$")

EXAMPLES = [
    {"proxyd/route.c": "/* Routes. */\n#include <lmdb.h>\n"},
    {"managerd/a.c": "/* A. */\n#include <curl/curl.h>\n"},
    {"managerd/a.c": "/* A. */\n#include <glib.h>\n"},
]


def check(tree):
    findings = []
    for path, text in tree.sources(below=("common/", "proxyd/", "managerd/", "deploy/")):
        for number, line in enumerate(text.splitlines(), 1):
            included = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            if not included or SYSTEM.match(included[1]):
                continue
            rule = next((prefix for prefix in ONLY if included[1].startswith(prefix)), None)
            if rule is None:
                findings.append(f"{path}:{number}: <{included[1]}> is of no library that was decided on")
            elif not path.startswith(tuple(ONLY[rule])):
                findings.append(f"{path}:{number}: <{included[1]}> may only be included by {', '.join(ONLY[rule])}")
    return findings
