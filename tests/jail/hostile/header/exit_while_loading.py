# expect[protocol]: a module that ends the interpreter
import os

os._exit(0)
