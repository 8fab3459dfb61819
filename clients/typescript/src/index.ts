export { Auth, type AuthProvider, type Credentials } from "./auth.js";
export { Client, type ClientOptions, createClient, type LiveInfo, type LiveOptions } from "./client.js";
export type { Socket, SocketConstructor, Status } from "./connection.js";
export * from "./errors.js";
export type { Column } from "./protocol.js";
export type { QueryOptions, QueryResult } from "./query.js";
export { SeqId } from "./seq.js";
export type { Change, ChangeBatch, SubscribeOptions } from "./subscription.js";
export type { Param } from "./values.js";
