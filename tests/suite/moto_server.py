# An S3 store that nobody here wrote, on loopback: python moto_server.py BUCKET
#
# Prints its address once the bucket is there. Ends with its standard input.

import logging
import sys
import urllib.request

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
bucket = urllib.request.Request(f"http://{host}:{port}/{sys.argv[1]}", method="PUT")
urllib.request.urlopen(bucket).close()
print(f"http://{host}:{port}", flush=True)
sys.stdin.read()
server.stop()
