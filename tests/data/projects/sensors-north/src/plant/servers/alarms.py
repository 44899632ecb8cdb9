import sys

from aiohttp import web

sys.path.insert(0, "..")
from limits import PLANT  # noqa: E402

routes = web.RouteTableDef()


@routes.get("/")
async def alarms(request):
    return web.json_response({"plant": PLANT, "sensor": "alarms"})


app = web.Application()
app.add_routes(routes)
web.run_app(app, host="127.0.0.1", port=9000)
