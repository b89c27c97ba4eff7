# expect[user_error oom]: text that grows by its format
def run(x):
    return len("{:>9999999999}".format("x")) + len("%099999999999d" % 1)
