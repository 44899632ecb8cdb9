import tornado.ioloop
import tornado.web

from src.plant.limits import PLANT


class Collect(tornado.web.RequestHandler):
    def get(self):
        self.write({"plant": PLANT, "sensor": "collect"})


if __name__ == "__main__":
    application = tornado.web.Application([(r"/", Collect)])
    application.listen(9000)
    tornado.ioloop.IOLoop.current().start()
