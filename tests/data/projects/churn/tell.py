import os

print("TOLD with {CHAT_TOKEN}: {EXCEPTION_MESSAGE}".format(**os.environ))
