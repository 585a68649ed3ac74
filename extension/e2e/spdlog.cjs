/**
 * Stands in for `@vscode/spdlog`, which is a compiled module that npm packages of code-server come without: with it, the
 * output channels of extensions are files, as they are for users. `install` puts it there.
 */

const { appendFileSync, mkdirSync } = require("node:fs");
const { dirname } = require("node:path");

const NAMES = ["trace", "debug", "info", "warning", "error", "critical", "off"];
let commonLevel = 0;

class Logger {
  /** @type {string} */ #path;
  #level = commonLevel;

  /**
   * @param {string} _type
   * @param {string} _name
   * @param {string} path
   */
  constructor(_type, _name, path) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
  }

  getLevel() {
    return this.#level;
  }

  /** @param {number} level */
  setLevel(level) {
    this.#level = level;
  }

  setPattern() {}
  clearFormatters() {}
  flush() {}
  drop() {}

  /** @param {string} message */
  trace(message) {
    this.#write(0, message);
  }

  /** @param {string} message */
  debug(message) {
    this.#write(1, message);
  }

  /** @param {string} message */
  info(message) {
    this.#write(2, message);
  }

  /** @param {string} message */
  warn(message) {
    this.#write(3, message);
  }

  /** @param {string} message */
  error(message) {
    this.#write(4, message);
  }

  /** @param {string} message */
  critical(message) {
    this.#write(5, message);
  }

  /**
   * @param {number} level
   * @param {string} message
   */
  #write(level, message) {
    if (level >= this.#level) {
      appendFileSync(this.#path, `${new Date().toISOString()} [${NAMES[level]}] ${message}\n`);
    }
  }
}

exports.version = 0;
/** @param {number} level */
exports.setLevel = (level) => {
  commonLevel = level;
};
exports.setFlushOn = () => {};
exports.Logger = Logger;
/**
 * @param {string} name
 * @param {string} path
 */
exports.createRotatingLogger = async (name, path) => new Logger("rotating", name, path);
exports.createAsyncRotatingLogger = exports.createRotatingLogger;
