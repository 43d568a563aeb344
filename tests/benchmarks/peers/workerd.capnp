using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ( name = "main", worker = .main ),
    ( name = "state", disk = ( path = "state", writable = true ) ),
  ],
  sockets = [ ( name = "http", address = "127.0.0.1:0", http = (), service = "main" ) ],
);

const main :Workerd.Worker = (
  modules = [ ( name = "worker.js", esModule = embed "worker.js" ) ],
  compatibilityDate = "2026-01-01",
  compatibilityFlags = [ "experimental", "nodejs_compat" ],
  globalOutbound = "main",
  bindings = [ ( name = "LOADER", workerLoader = () ) ],
  durableObjectNamespaces = [ ( className = "Trunk", uniqueKey = "trunk", enableSql = true ) ],
  durableObjectStorage = ( localDisk = "state" ),
);
