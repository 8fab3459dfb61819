/** What the server says of an error; `code` is PostgreSQL's SQLSTATE. */
export interface ErrorFields {
  code: string;
  message: string;
  detail?: string;
  hint?: string;
  /** Where in the statement, in characters from 1. */
  position?: number;
  schema?: string;
  table?: string;
  column?: string;
  constraint?: string;
}

/** An error with an SQLSTATE. Its subclasses tell the families that programs treat differently. */
export class TidelogError extends Error {
  override readonly name: string = "TidelogError";
  readonly code: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly position: number | undefined;
  readonly schema: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly constraint: string | undefined;

  constructor(fields: ErrorFields) {
    super(fields.message);
    this.code = fields.code;
    this.detail = fields.detail;
    this.hint = fields.hint;
    this.position = fields.position;
    this.schema = fields.schema;
    this.table = fields.table;
    this.column = fields.column;
    this.constraint = fields.constraint;
  }

  /** The typed error for an SQLSTATE. */
  static from(fields: ErrorFields): TidelogError {
    const { code } = fields;
    if (code === "42501") return new PermissionError(fields);
    if (code === "57014") return new CanceledError(fields);
    if (code === "0A000") return new UnsupportedError(fields);
    // What was sent is wrong, and will be wrong when it is sent again.
    if (code === "08P01") return new TidelogError(fields);
    switch (code.slice(0, 2)) {
      case "22":
        return new DataError(fields);
      case "23":
        return new ConstraintError(fields);
      case "28":
        return new AuthenticationError(fields);
      case "40":
        return new SerializationError(fields);
      case "42":
      case "26":
      case "34":
      case "3F":
        return new StatementError(fields);
      case "08":
      case "53":
        return new ConnectionError(fields);
      case "57":
        return new ConnectionError(fields);
      default:
        return new TidelogError(fields);
    }
  }
}

/** Class 28: the server does not know who this is. */
export class AuthenticationError extends TidelogError {
  override readonly name: string = "AuthenticationError";
}

/** 42501: the role may not do this. */
export class PermissionError extends TidelogError {
  override readonly name: string = "PermissionError";
}

/** Class 42: the statement is wrong, or names what does not exist. */
export class StatementError extends TidelogError {
  override readonly name: string = "StatementError";
}

/** 0A000: the statement is right, but Tidelog cannot do it. */
export class UnsupportedError extends TidelogError {
  override readonly name: string = "UnsupportedError";
}

/** Class 22: a value does not fit. */
export class DataError extends TidelogError {
  override readonly name: string = "DataError";
}

/** Class 23: a constraint was violated. */
export class ConstraintError extends TidelogError {
  override readonly name: string = "ConstraintError";
}

/** Class 40: others changed the same rows; the same statement may succeed when it is sent again. */
export class SerializationError extends TidelogError {
  override readonly name: string = "SerializationError";
}

/** 57014: the statement was cancelled, by this client or by a timeout. */
export class CanceledError extends TidelogError {
  override readonly name: string = "CanceledError";
}

/** Classes 08 (but 08P01), 53 and 57: there is no connection, it was lost, or the server takes no more work. */
export class ConnectionError extends TidelogError {
  override readonly name: string = "ConnectionError";
}
