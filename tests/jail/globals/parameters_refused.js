try { new URLSearchParams([['a']]); } catch (error) { return [error.name, error.message]; }
